# Gives a program its input and collects its output.

import asyncio
from asyncio.subprocess import PIPE


async def main():
    child = await asyncio.create_subprocess_exec("tr", "a-z", "A-Z", stdin=PIPE, stdout=PIPE)
    stdout, _ = await child.communicate(b"shout")
    print("the program printed", stdout.decode(), "and returned", child.returncode)


asyncio.run(main())
