"""The HTTP server of the tests that talk to one."""

from __future__ import annotations

from http.server import ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """A thread a request, and room for many that connect at once.

    The library's queue holds 5: on a busy machine the kernel turns further ones away, and a test that counts what was
    asked and paid sees a failure that it did not script.
    """

    daemon_threads = True
    request_queue_size = 1024
