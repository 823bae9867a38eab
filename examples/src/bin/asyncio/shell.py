# Runs a line of the shell, with errors where the output is.

import asyncio
from asyncio.subprocess import PIPE, STDOUT


async def main():
    line = "echo output; echo error >&2; exit 3"
    child = await asyncio.create_subprocess_shell(line, stdout=PIPE, stderr=STDOUT)
    stdout, _ = await child.communicate()
    print(stdout.decode(), end="")
    print("the shell returned", child.returncode)


asyncio.run(main())
