"""Ends with status 0 if the service in this container is ready for work: what its health check runs."""

import http.client
import sys


def is_ready() -> bool:
    """Asks `/readyz`, which looks at the database and the workers."""
    connection = http.client.HTTPConnection("127.0.0.1", 8000, timeout=4)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(not is_ready())
