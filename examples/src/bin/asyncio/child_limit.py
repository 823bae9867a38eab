# Kills a program that takes too long.

import asyncio


async def main():
    child = await asyncio.create_subprocess_exec("sleep", "1000")
    try:
        await asyncio.wait_for(child.wait(), timeout=0.01)
    except TimeoutError:
        print("the program takes too long")
        child.kill()
    print("it was ended by signal", -await child.wait())


asyncio.run(main())
