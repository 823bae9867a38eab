# Waits until a socket of another library has something to read.

import asyncio
import socket


async def main():
    loop = asyncio.get_running_loop()
    reader, writer = socket.socketpair()
    received = loop.create_future()

    def readable():
        loop.remove_reader(reader)
        received.set_result(reader.recv(100))

    loop.add_reader(reader, readable)
    loop.call_soon(writer.send, b"abc")
    print("received", (await received).decode())
    reader.close()
    writer.close()


asyncio.run(main())
