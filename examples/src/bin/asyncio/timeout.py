# Gives up on work that takes too long.

import asyncio


async def for_ever():
    await asyncio.sleep(3600)
    print("never printed")


async def main():
    try:
        await asyncio.wait_for(for_ever(), timeout=0.01)
    except TimeoutError:
        print("timed out")
    async with asyncio.timeout(3600):
        await asyncio.sleep(0)
        print("in time")


asyncio.run(main())
