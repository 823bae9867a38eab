# Computes three factorials side by side, a step each in turn.

import asyncio


async def factorial(name, number):
    product = 1
    for factor in range(2, number + 1):
        print(f"{name}: {product} times {factor}")
        await asyncio.sleep(0)
        product *= factor
    return product


async def main():
    print(await asyncio.gather(factorial("A", 2), factorial("B", 3), factorial("C", 4)))


asyncio.run(main())
