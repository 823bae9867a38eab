# Lets the loop go on while a thread waits in a blocking call.

import asyncio
import threading


def blocking(go_on):
    go_on.wait()
    return "the blocking call returned"


async def main():
    go_on = threading.Event()
    call = asyncio.create_task(asyncio.to_thread(blocking, go_on))
    for step in range(3):
        print("the loop goes on:", step)
        await asyncio.sleep(0.01)
    go_on.set()
    print(await call)


asyncio.run(main())
