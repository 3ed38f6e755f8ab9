"""What happens to every request around its route. Plain ASGI: no middleware reads a body or starts a task.

Outermost first: `identity` (request id, time, security headers), `guard` (Host, Origin, sizes of the address), CORS
where it is on, `bodies` (bounds on what is uploaded).
"""
