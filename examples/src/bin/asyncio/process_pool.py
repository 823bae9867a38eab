# Counts primes in processes of their own, two at a time.

import asyncio
from concurrent.futures import ProcessPoolExecutor


def primes(first, end):
    return sum(all(n % divisor for divisor in range(2, n)) for n in range(max(first, 2), end))


async def main():
    loop = asyncio.get_running_loop()
    parts = [(0, 1000), (1000, 2000), (2000, 3000)]
    with ProcessPoolExecutor(max_workers=2) as pool:
        calls = [loop.run_in_executor(pool, primes, *part) for part in parts]
        counts = await asyncio.gather(*calls)
    for (first, end), count in zip(parts, counts):
        print(f"{count} primes from {first} to {end}")


if __name__ == "__main__":
    asyncio.run(main())
