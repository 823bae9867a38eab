# Calls a function again and again, some time after the last call.

import asyncio


def show(loop, number):
    print("call", number)
    if number == 3:
        loop.stop()
    else:
        loop.call_later(0.01, show, loop, number + 1)


loop = asyncio.new_event_loop()
loop.call_soon(show, loop, 1)
try:
    loop.run_forever()
finally:
    loop.close()
