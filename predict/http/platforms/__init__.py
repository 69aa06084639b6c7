"""The HTTP contracts of platforms that run inference containers.

A module a contract. Each says what a request of its platform asks (`read`), and how the platform wants the answer
(`write`); `asking` turns the former into instances, `errors` knows the shape of each platform's errors, and `routes`
puts them all into the application. docs/reference/platforms.md has the table of what was tried with which client.
"""
