"""Training with OpenRLHF: recipe -> OpenRLHF's own arguments -> a run that is watched and can be resumed."""
