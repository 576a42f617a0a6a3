"""A flow in Python: answers, says in the log what of the world it can see, and stays until the caller hangs up.

What Python's own library offers beyond computing comes from WASI, and there is nothing in WASI but clocks, random numbers and
the log: no environment, no arguments, no files, no network.
"""

import encodings.idna  # for names: what is imported when the flow is built is in it, and nothing else
import os
import socket
import sys
import time

from wit_world import exports
from wit_world.imports import session
from wit_world.imports.types import Body

# The caller's media would go here; a flow that has none says so with port 9 (discard).
SDP = (
    b"v=0\r\no=python 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"m=audio 9 RTP/AVP 0\r\na=inactive\r\n"
)


def log(text):
    session.log(session.Level.INFO, text)


def attempt(what, act):
    """Tries something that the host does not allow, and logs what came of it."""
    try:
        log(f"{what}: {act()!r}")
    except OSError as error:
        log(f"{what}: refused: {error.strerror or error}")
    except Exception as error:  # what a library has not even tried
        log(f"{what}: refused: {type(error).__name__}: {error}")


def write_a_file():
    with open("/tmp/flow", "w", encoding="utf-8") as file:
        file.write("text")


def look_around():
    log(f"clock: {time.time():.0f} {time.monotonic_ns() > 0}")
    # The generator of the module `random` was seeded when the component was built: this is the system's.
    log(f"random: {os.urandom(16).hex()}")
    log(f"environment: {dict(os.environ)!r}")
    log(f"arguments: {sys.argv[1:]!r}")
    attempt("read a file", lambda: open("/etc/passwd", encoding="utf-8").read())
    attempt("write a file", write_a_file)
    attempt("list a folder", lambda: os.listdir("/"))
    attempt("name", lambda: socket.getaddrinfo("localhost", 5060))
    attempt("tcp", lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).connect(("127.0.0.1", 5060)))
    attempt("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 5060)))
    print("on stdout: \x1b[31mred\x1b[0m", flush=True)
    print("on stderr: \x07bell", file=sys.stderr, flush=True)


class Handler(exports.Handler):
    def on_call(self, incoming):
        log(f"python answers {incoming.ani()}")
        look_around()
        if session.config("flood"):
            for number in range(10_000):
                print(f"line {number} " + "x" * 100)
        incoming.answer(Body("application/sdp", SDP), [], 15_000)
        incoming.wait_for_hangup(None)
