"""The peer of serving: the same model behind a FastAPI coroutine on uvicorn, as FastAPI's manual has it."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from predict.http.requests import PredictRequest
from predict.scoring.inputs import Instance
from predict.scoring.predictor import Predictor


def create_app(predictor: Predictor) -> FastAPI:
    """Make an application with the one route that is measured."""

    async def predict(asked: PredictRequest) -> dict[str, Any]:
        instances: Sequence[Instance] = asked.instances or []
        if asked.text is None:
            predictor.check(instances)
        else:
            instances = predictor.check_texts([asked.text])
        return {"predictions": predictor.predict(instances), "model": predictor.metadata.name}

    app = FastAPI()
    app.add_api_route("/predict", predict, methods=["POST"])
    return app


if __name__ == "__main__":
    # Without a line for each request, which ours writes.
    uvicorn.run(
        create_app(Predictor.load(Path(sys.argv[1]))),
        host="127.0.0.1",
        port=int(sys.argv[2]),
        access_log=False,
    )
