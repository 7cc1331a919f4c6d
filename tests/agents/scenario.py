"""Parts that all scripts of this folder share: the steps of the scripted model, tools that record their calls, and the report.

A scenario sends the header x-scenario. By it the scripted model finds its next step, and the gateway labels its metrics. The header x-auth-token makes
it a caller of its own: without identifiers of calls, equal runs of one caller that follow each other within seconds would be one.
"""

import asyncio
import json
import os
import signal
import sys
import time
import traceback
import urllib.request

GATEWAY = os.environ["GAUGEWAY_GATEWAY"]
MODEL = os.environ["GAUGEWAY_MODEL"]

# The report. Some frameworks write to stdout themselves.
REPORT = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)

# Every tool takes this long, in seconds.
TOOL_TIME = 0.1


def calls(*tools):
    """A turn that calls tools: names with arguments."""
    return {"calls": [{"tool": tool, "arguments": arguments} for tool, arguments in tools]}


def text(words="Bern has 20 degrees and Oslo has 10 degrees."):
    """A turn that answers with a text."""
    return {"text": words}


def slow():
    """A text that takes seconds, so that the client can stop it."""
    return {"text": "one two three four five six seven eight nine ten", "slow": True}


def fail(status):
    """An answer with a status other than 200, after which the client tries again at once."""
    return {"fail": status}


BERN, OSLO = {"city": "Bern"}, {"city": "Oslo"}
PLAIN = [calls(("temperature", BERN)), calls(("humidity", BERN)), text()]
PARALLEL = [calls(("temperature", BERN), ("temperature", OSLO), ("humidity", OSLO)), text()]
FAILING = [calls(("broken", BERN)), calls(("temperature", BERN)), text()]
RETRIES = [fail(429), calls(("temperature", BERN)), fail(500), calls(("humidity", BERN)), text()]
CANCELLED = [calls(("temperature", BERN)), slow()]
TRIMMED = [calls(("temperature", {"city": city})) for city in ("Bern", "Oslo", "Rome", "Paris", "Wien")] + [text()]
KILLED = [calls(("temperature", BERN)), calls(("kill", BERN))]


class Scenario:
    """One scenario of a framework. `key` is the value of x-scenario."""

    def __init__(self, key, steps, **traits):
        self.key = key
        self.tools = {}
        self.runs = []
        self.traits = traits
        request = urllib.request.Request(f"{MODEL}/script/{key}", json.dumps(steps).encode(), method="PUT")
        urllib.request.urlopen(request).close()

    @property
    def headers(self):
        return {"x-scenario": self.key, "x-auth-token": self.key}

    def ran(self, status, iterations):
        """Records a run of the framework: its final status and its number of model calls."""
        self.runs.append({"status": status, "iterations": iterations})

    def report(self):
        report = {"scenario": self.key, "runs": self.runs, "tools": self.tools, **self.traits}
        print(json.dumps(report), file=REPORT)

    def _use(self, name, start, failed=False):
        self.tools.setdefault(name, []).append({"seconds": time.monotonic() - start, "failed": failed})


class current:
    """The scenario in progress."""

    scenario = None


def temperature(city: str) -> float:
    """Returns the temperature in a city.

    Args:
        city: name of the city
    """
    start = time.monotonic()
    time.sleep(TOOL_TIME)
    current.scenario._use("temperature", start)
    return {"Bern": 20.0, "Oslo": 10.0}.get(city, 15.0)


def humidity(city: str) -> float:
    """Returns the humidity in a city.

    Args:
        city: name of the city
    """
    start = time.monotonic()
    time.sleep(TOOL_TIME)
    current.scenario._use("humidity", start)
    return 0.5


def broken(city: str) -> float:
    """Returns the pressure in a city.

    Args:
        city: name of the city
    """
    start = time.monotonic()
    time.sleep(TOOL_TIME)
    current.scenario._use("broken", start, failed=True)
    raise ValueError(f"there is no barometer in {city}")


def kill(city: str) -> float:
    """Returns nothing, because it kills this process.

    Args:
        city: name of the city
    """
    run = current.scenario
    if run.traits.get("text_results"):
        run.ran("unknown", 1)
        run.ran("abandoned", 1)
    else:
        run.ran("abandoned", 2)
    run.report()
    os.kill(os.getpid(), signal.SIGKILL)


def main(framework, scenarios, **traits):
    """Runs the scenarios whose keys begin with an argument, or all. A failed one is reported, and the next one follows.

    Scenarios are names, steps and functions, which may be asynchronous. The last scenario may kill the process.
    `traits` say what no gateway can see: `text_results=True` that results are written as texts of messages, and
    `text_failures=True` that the result of a failed tool is only the text of the exception.
    """
    # One loop for all scenarios, because HTTP clients close their connections later.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    for name, steps, function in scenarios:
        key = f"{framework}.{name}"
        if sys.argv[1:] and not key.startswith(tuple(sys.argv[1:])):
            continue
        run = current.scenario = Scenario(key, steps, **traits)
        try:
            result = function(run)
            if asyncio.iscoroutine(result):
                loop.run_until_complete(result)
        except Exception:
            print(json.dumps({"scenario": key, "error": traceback.format_exc()[-3000:]}), file=REPORT)
        else:
            run.report()
