# Protects a payment from the limit of the request that began it.

import asyncio


async def pay(confirmed):
    await confirmed.wait()
    print("paid")


async def main():
    confirmed = asyncio.Event()
    payment = asyncio.create_task(pay(confirmed))
    try:
        await asyncio.wait_for(asyncio.shield(payment), timeout=0.01)
    except TimeoutError:
        print("the request gave up")
    confirmed.set()
    await payment


asyncio.run(main())
