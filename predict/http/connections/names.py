"""Every name of waitress that this server uses, changes or replaces.

waitress documents `create_server` and its arguments. The rest is private to it, so a test asks the installed waitress
for each name. No module outside this room may use one.
"""

RELIED_ON = {
    "waitress.adjustments": ("Adjustments",),
    "waitress.wasyncore": ("readwrite",),
    "waitress.buffers": ("OverflowableBuffer",),
    "waitress.channel": ("HTTPChannel", "ClientDisconnected"),
    "waitress.parser": ("HTTPRequestParser", "ParsingError"),
    "waitress.receiver": ("FixedStreamReceiver",),
    "waitress.server": ("TcpWSGIServer",),
    "waitress.task": ("ErrorTask", "ThreadedTaskDispatcher", "WSGITask"),
    "waitress.utilities": ("build_http_date",),
    "arguments": (
        *("sockets", "threads", "max_request_body_size", "max_request_header_size"),
        *("inbuf_overflow", "outbuf_overflow", "clear_untrusted_proxy_headers", "ident"),
    ),
    "server": (
        *(
            "accept",
            "adj",
            "add_task",
            "pull_trigger",
            "trigger",
            "task_dispatcher",
            "effective_port",
        ),
        *(
            "socket",
            "active_channels",
            "set_socket_options",
            "handle_accept",
            "del_channel",
            "_map",
        ),
    ),
    "trigger": ("pull_trigger",),
    "dispatcher": (
        "add_task",
        "lock",
        "queue",
        "active_count",
        "set_thread_count",
        "shutdown",
        "threads",
    ),
    "channel": (
        *("error_task_class", "task_class", "parser_class", "adj", "addr", "server", "socket"),
        *("connected", "will_close", "close_when_flushed", "request", "requests", "requests_lock"),
        *("outbuf_lock", "last_activity", "total_outbufs_len", "service", "received", "readable"),
        *("writable", "recv", "send", "write_soon", "handle_read", "handle_write", "handle_close"),
        *("del_channel", "check_client_disconnected", "_fileno"),
        "_flush_outbufs_below_high_watermark",
    ),
    "parser": (
        *("adj", "received", "parse_header", "headers", "header_plus", "header_bytes_received"),
        *("body_bytes_received", "body_rcv", "chunked", "close", "completed", "connection_close"),
        *("content_length", "empty", "error", "expect_continue", "get_body_stream"),
        *("headers_finished", "version"),
    ),
    "parsed": ("command", "path", "query"),
    "error": ("code", "body"),
    "task": (
        *("channel", "request", "execute", "get_environment", "write", "build_response_header"),
        *("set_close_on_finish", "status", "version", "has_body", "content_length"),
        *("content_bytes_written", "wrote_header", "response_headers", "close_on_finish"),
    ),
}
