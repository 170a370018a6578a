"""A reward model on Ray Serve.

Covers: `serve_http`, a server with a Ray of its own (`acecoder-rl serve-rm`); `start_in_ray` and `stop`, an app within
    a running Ray cluster, without HTTP: its handle is the way in (`AceCodeRM(endpoint="ray://...")`).
Does not cover: what a replica answers (replica.py), asking (client.py).
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from acecoder_rl.reward_model.replica import Replica, Served

APP = "acecoder-rm"
# Serve lets only 5 requests into a replica at once by default: no batch could be larger.
ONGOING = 16_384
# For the Ray that serve_http starts; what the user has set stays.
RAY = {
    # Ray's 15 is to keep its own daemons quick; here it would let any other process starve the server.
    "RAY_worker_niceness": "0",
    # Of a proxy on a busy machine; Serve's 5 and 10 seconds would end one that only starts slowly.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
    # Ray's own ports are open to whoever reaches them, for anything, with or without our token; by default they are on
    # all interfaces. This puts them on the loopback, despite its name.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # As Ray announces it for later; the other default prints a tip at every start. Replicas on CPUs say so themselves.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class ServeError(RuntimeError):
    """The server cannot start: the message says why and what mends it."""


def start_in_ray(
    model: str, *, replicas: int = 1, gpus_per_replica: float = 0, format: str = "raw", threads: int | None = None,
    max_tokens: int | None = None, batch_tokens: int | None = None, dtype: str | None = None, name: str = APP,
    load: Callable[[Served], Any] | None = None,
) -> str:  # fmt: skip
    """Deploy a reward model in the running Ray cluster; returns its endpoint, "ray://name", once all are ready.

    Serve's HTTP proxy is not started, so that jobs on one machine never meet on a port. (Where the cluster has a
    Serve with a proxy already, that stays; this app has no route on it.)

    Args:
        model: folder or Hub id, readable on every node.
        replicas: copies of the model; requests go to the one with the shortest queue.
        gpus_per_replica: above 1, the model is spread over them; 0 for CPUs.
        format, threads, max_tokens, batch_tokens, dtype, load: see `Served`.
        name: of the app; deploying the same name again replaces it.

    Raises:
        ServeError: no Ray cluster was joined, too few GPUs, or the model does not load.
    """
    import ray

    if not ray.is_initialized():
        raise ServeError(
            "this process has not joined a Ray cluster: call ray.init() first, or use `acecoder-rl serve-rm`"
        )
    served = Served(
        model=_checked(model), format=format, replicas=replicas, gpus_per_replica=gpus_per_replica, threads=threads,
        max_tokens=max_tokens, batch_tokens=batch_tokens, dtype=dtype, load=load,
    )  # fmt: skip
    _check_protobuf()
    _check_gpus(served)
    from ray import serve

    serve.start(proxy_location="Disabled", logging_config=_logging())
    _deploy(served, name, None)
    return f"ray://{name}"


def stop(endpoint: str) -> None:
    """End what `start_in_ray` started; Serve too, unless other apps run on it."""
    from ray import serve

    serve.delete(endpoint.removeprefix("ray://"))
    if not serve.status().applications:
        serve.shutdown()


def serve_http(served: Served, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM, then end Serve and the Ray that was started for it. For a main thread.

    Args:
        port: 0 for any that is free.
        ready: is told the URL, once all replicas have loaded.

    Raises:
        ServeError: the port is taken, too few GPUs, or the model does not load.
    """
    _check_protobuf()
    served = replace(served, model=_checked(served.model))
    port = _free_port(host, port)
    os.environ.update({name: value for name, value in RAY.items() if name not in os.environ})
    _catch_signals()
    try:
        import ray

        try:
            # "local", not None, which would join any cluster that somebody started on this machine.
            ray.init(
                address="local", include_dashboard=False, namespace="acecoder-rm", object_store_memory=256 * 2**20,
                logging_level="warning",
                runtime_env={"worker_process_setup_hook": "acecoder_rl.reward_model.loopback.keep"},
            )  # fmt: skip
        except Exception as error:  # Ray raises Exception itself, where its processes are not up within 30 seconds
            raise ServeError(f"Ray does not start: {error}") from error
        _catch_signals()  # Ray has put its own handler for SIGTERM there
        try:
            _check_gpus(served)
            from ray import serve

            serve.start(proxy_location="HeadOnly", http_options={"host": host, "port": port}, logging_config=_logging())
            _deploy(served, APP, "/")
            try:
                ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
                threading.Event().wait()
            finally:
                serve.delete(APP)  # lets requests finish that are at work
        finally:
            ray.shutdown()  # and with it all of Serve
    except _Stopped:
        pass


class _Stopped(BaseException):
    """SIGINT or SIGTERM came."""


def _catch_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)


def _stop(number: int, frame: object) -> None:
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)  # once is enough
    raise _Stopped


def _deploy(served: Served, name: str, route: str | None) -> None:
    from ray import serve

    # It tells at each deployment that Serve runs already, as it should.
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    deployment = serve.deployment(
        Replica,
        name="RewardModel",
        num_replicas=served.replicas,
        max_ongoing_requests=ONGOING,
        max_constructor_retry_count=1,  # a model that does not load once will not load the next time
        graceful_shutdown_timeout_s=10,
        graceful_shutdown_wait_loop_s=0.1,
        health_check_timeout_s=60,
        # Cores are not what keeps replicas apart, and trainers count them for themselves.
        ray_actor_options={"num_cpus": 0, "num_gpus": served.gpus_per_replica},
        logging_config=_logging(),
    )
    try:
        serve.run(deployment.bind(served), name=name, route_prefix=route)
    except RuntimeError as error:
        raise ServeError(f"{served.model} cannot be served: {_reason(name, error)}") from error


def _reason(name: str, error: RuntimeError) -> str:
    """Why the deployment failed: the replica's own error, which Serve keeps at the end of its status."""
    from ray import serve

    app = serve.status().applications.get(name)
    told = [each.message for each in app.deployments.values() if each.message] if app else []
    lines = [line.strip() for text in told or [str(error)] for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "Error: " in line and "RayTaskError" not in line]
    return (errors or lines or [str(error)])[-1]


def _logging() -> dict[str, Any]:
    # The access log costs more than a request.
    return {"log_level": "WARNING", "enable_access_log": False}


def _checked(model: str) -> str:
    """The model; a folder as an absolute path: replicas have another working directory."""
    path = Path(model)
    if not path.is_dir():
        if path.is_absolute() or model.startswith(".") or model.count("/") != 1:
            raise ServeError(f"{model}: there is no such folder: give a reward model's, or a model id on the Hub")
        return model
    if not (path / "config.json").is_file():
        raise ServeError(f"{model} has no config.json: give the folder that holds the reward model")
    return str(path.resolve())


def _check_protobuf() -> None:
    """Ray Serve 2.55 reads `FieldDescriptor.label`, which protobuf 7 has no more; its controller would only log that,
    over and over, and never deploy anything."""
    from google.protobuf import __version__, descriptor

    if not hasattr(descriptor.FieldDescriptor, "label"):
        raise ServeError(
            f"Ray Serve does not work with protobuf {__version__}: pip install 'protobuf>=6.33.5,<7', which the other "
            "packages accept as well"
        )


def _check_gpus(served: Served) -> None:
    import ray

    needed, have = served.replicas * served.gpus_per_replica, ray.cluster_resources().get("GPU", 0)
    if needed > have:
        raise ServeError(
            f"{served.replicas} replicas of {served.gpus_per_replica:g} GPUs need {needed:g}, but Ray has {have:g}: "
            "ask for fewer, or serve on CPUs with 0 GPUs a replica"
        )


def _free_port(host: str, port: int) -> int:
    """The port, if it can be bound: Serve itself would wait for minutes, or share it with another Serve."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
            return trial.getsockname()[1]
    except OSError as error:
        mend = "choose another with --port" if error.errno == errno.EADDRINUSE else "see --host and --port"
        raise ServeError(f"{host}:{port} cannot be served on: {os.strerror(error.errno or 0)}: {mend}") from error
