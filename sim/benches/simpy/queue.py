"""M/M/c in SimPy: `queue.py SEED REQUESTS C RHO` prints the processor's seconds and the mean wait,
in mean service times."""

import random
import sys
import time

import simpy


def request(env, servers, chance, waits):
    arrived = env.now
    with servers.request() as turn:
        yield turn
        waits.append(env.now - arrived)
        yield env.timeout(chance.expovariate(1.0))


def source(env, servers, chance, waits, requests, rate):
    for _ in range(requests):
        yield env.timeout(chance.expovariate(rate))
        env.process(request(env, servers, chance, waits))


def main():
    seed, requests, c = (int(argument) for argument in sys.argv[1:4])
    began = time.process_time()
    env, chance, waits = simpy.Environment(), random.Random(seed), []
    servers = simpy.Resource(env, capacity=c)
    env.process(source(env, servers, chance, waits, requests, c * float(sys.argv[4])))
    env.run()
    assert len(waits) == requests
    print(time.process_time() - began, sum(waits) / requests)


main()
