# A UDP socket that echoes one datagram, and its client.

import asyncio


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        print("the server received", data.decode())
        self.transport.sendto(data, address)


class Client(asyncio.DatagramProtocol):
    def __init__(self, answer):
        self.answer = answer

    def connection_made(self, transport):
        transport.sendto(b"hello")

    def datagram_received(self, data, address):
        self.answer.set_result(data)


async def main():
    loop = asyncio.get_running_loop()
    server, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    address = server.get_extra_info("sockname")
    answer = loop.create_future()
    client, _ = await loop.create_datagram_endpoint(lambda: Client(answer), remote_addr=address)
    print("the client received", (await answer).decode())
    client.close()
    server.close()


asyncio.run(main())
