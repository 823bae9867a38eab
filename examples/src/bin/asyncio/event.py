# Lets a task wait until an event is set.

import asyncio


async def waiter(event):
    print("waiting")
    await event.wait()
    print("the event is set")


async def main():
    event = asyncio.Event()
    task = asyncio.create_task(waiter(event))
    await asyncio.sleep(0.01)
    print("setting")
    event.set()
    await task


asyncio.run(main())
