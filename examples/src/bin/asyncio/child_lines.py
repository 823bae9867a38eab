# Talks with a program line by line.

import asyncio
from asyncio.subprocess import PIPE


async def main():
    child = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
    for word in ["one", "two"]:
        child.stdin.write(f"{word}\n".encode())
        await child.stdin.drain()
        print("the program says", (await child.stdout.readline()).decode().rstrip())
    child.stdin.close()
    print("the program returned", await child.wait())


asyncio.run(main())
