# Protects a payment from the limit of the request that began it.

import asyncio


async def pay():
    await asyncio.sleep(0.05)
    print("paid")


async def main():
    payment = asyncio.create_task(pay())
    try:
        await asyncio.wait_for(asyncio.shield(payment), timeout=0.01)
    except TimeoutError:
        print("the request gave up")
    await payment


asyncio.run(main())
