"""What the layers of this server tell each other in the environment of a request."""

# The id of the request.
REQUEST_ID = "predict.request_id"
# The route as the documents call it, such as /models/<model>/predict.
ROUTE = "predict.route"
# How long the request waited for its turn, in seconds.
WAITED_S = "predict.waited_s"
# A function that tells whether the main loop answers it, and all other requests wait meanwhile.
ON_MAIN_LOOP = "predict.on_main_loop"
# The name of the model that answered, the number of instances, and the seconds of each step.
ANSWERED = "predict.answered"
# Headers of the answer, by name, that take the place of those that every answer has; pages set it.
OWN_HEADERS = "predict.own_headers"
