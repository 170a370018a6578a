"""The rollout log and the page that shows it: every completion that was scored, to look at."""
