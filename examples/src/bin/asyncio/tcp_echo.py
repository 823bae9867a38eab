# A server that echoes one message, and its client.

import asyncio


async def serve(reader, writer):
    message = await reader.read(100)
    print("the server received", message.decode())
    writer.write(message)
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"hello")
        await writer.drain()
        print("the client received", (await reader.read(100)).decode())
        writer.close()
        await writer.wait_closed()


asyncio.run(main())
