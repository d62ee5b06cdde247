"""What schemathesis may not make up: URLs that belong to somebody. All of these end on this machine, or are refused."""

import os

import schemathesis
from hypothesis import strategies

schemathesis.openapi.format(
    "uri",
    strategies.sampled_from(
        [
            os.environ["RECEIVER_URL"],
            "http://127.0.0.1:9/nobody-listens",
            "https://nobody.invalid/",
            "http://169.254.169.254/latest",
            "ftp://127.0.0.1/",
        ]
    ),
)
