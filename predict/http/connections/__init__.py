"""The server's connections: `loop.EventLoop` is the door. Only this room touches the inside of waitress."""
