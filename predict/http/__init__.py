"""The model as JSON over HTTP: the application, and the server around it."""
