# Reads lines from a pipe, as a program reads its standard input.

import asyncio
import os


async def main():
    reading, writing = os.pipe()
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb")
    )
    transport, protocol = await loop.connect_write_pipe(
        asyncio.streams.FlowControlMixin, os.fdopen(writing, "wb")
    )
    writer = asyncio.StreamWriter(transport, protocol, None, loop)
    writer.write(b"one\ntwo\n")
    await writer.drain()
    writer.close()
    while line := await reader.readline():
        print(line.decode().rstrip())


asyncio.run(main())
