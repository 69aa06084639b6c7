"""The yardstick of serving: a Flask route on waitress that parses JSON and returns a constant."""

import sys

from flask import Flask, Response, jsonify, request
from waitress import serve

app = Flask(__name__)


@app.post("/predict")
def predict() -> Response:
    """Parse the request and always give the same answer."""
    request.get_json()
    return jsonify(
        {
            "predictions": [
                {"label": "svn", "score": 0.93, "probabilities": {"svn": 0.93, "bash": 0.07}}
            ]
        }
    )


if __name__ == "__main__":
    serve(app, host="127.0.0.1", port=int(sys.argv[1]), threads=int(sys.argv[2]))
