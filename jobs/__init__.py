"""Training as a service: a queue of training runs behind HTTP. Nothing imports it."""
