"""What connections and their requests may take: times, counts and bytes."""

# A request of up to this size, headers and body, is answered by the main loop itself, if the model is quick.
INLINE_REQUEST_BYTES = 2_000
# The main loop answers requests for this long before it looks at the sockets again,
TURN_S = 0.005
# and looks at this many of them, so that reading does not starve answering either.
EVENTS_A_TURN = 64
ACCEPTS_A_TURN = 256
# Probes, and answers to what is no request, before all others.
URGENT_A_TURN = 8
MOST_URGENT = 64
# An answer that computes for longer than the first, or takes longer than the second, sends the following ones to the
# worker threads: for a second, then for twice as long each time, up to the third.
SLOW_ANSWER_CPU_S = 0.02
SLOW_ANSWER_S = 0.25
LONGEST_ABSENCE_S = 600.0
# So many small requests may wait for the main loop in any case. Requests for worker threads may wait for as long as so
# many of their answers take.
FEW = 32
PATIENCE = 8.0

# What all connections together may have sent of requests without an answer, and may have to read of answers.
MOST_REQUEST_BYTES = 32_000_000
MOST_ANSWER_BYTES = 32_000_000
# A request that is smaller is not refused for the bytes of others.
SMALL_REQUEST_BYTES = 16_384
MOST_HEADER_BYTES = 65_536
# How much of what a refused client goes on sending is read and thrown away, and for how long.
MOST_DISCARDED_BYTES = 100_000_000
LONGEST_DISCARDING_S = 30.0

# Connections at once, most of them idle; and some more, for probes alone.
MOST_CONNECTIONS = 1_000
PLACES_FOR_PROBES = 24
# When there is no room for another connection, this many of the slowest make room, if they are this old; one in a
# place for probes is slow sooner.
MAKE_ROOM = 64
SLOW_AFTER_S = 1.0
SLOW_PROBE_AFTER_S = 0.1

# How long an idle connection is kept, and how long headers and a body may take to arrive.
IDLE_TIMEOUT_S = 60.0
HEADERS_TIMEOUT_S = 10.0
BODY_TIMEOUT_S = 60.0
# A client that reads nothing of its answer for so long is closed; sooner if answers take much memory.
READING_TIMEOUT_S = 10.0
READING_TIMEOUT_UNDER_PRESSURE_S = 3.0
LONGEST_READING_S = 120.0
# How often connections are looked over, also while somebody waits for it, and how often refusals are logged.
CHECK_EVERY_S = 0.5
CHECK_SOON_S = 0.05
SAY_EVERY_S = 10.0

# A stopping server no longer waits for a request when nothing of it has arrived for this long.
STALLED_AFTER_S = 5.0
# A stopping server waits this long for the first request of a new connection.
FIRST_REQUEST_S = 0.25

# Header blocks whose meaning is remembered: a client sends the same ones again and again.
KNOWN_HEADERS = 512
KNOWN_HEADER_BYTES = 1_000
