"""Turns Envoy's access log into charges in the format of FOCUS 1.2, which is also valid FOCUS 1.0.

    python3 envoy/focus.py <access.log >focus.csv

    --account ID   BillingAccountId of all rows, because the log does not have it; default: unknown
    --tag FIELD    also tells rows apart by this field of the log, and writes it as a tag; may be repeated

The log has one JSON object per line, with the fields that `json_format` in envoy/envoy.yaml lists. A row of the result is
the cost of one part of the calls (input, cache, output, tools...) of one hour, provider, model, operation, route and cost
status. All sums are exact. It needs Python 3.9 and a constant amount of memory, however long the log is.

Specification: https://focus.finops.org/focus-specification/v1-2/
"""

import argparse
import collections
import csv
import datetime
import decimal
import json
import sys

# Rows in memory. If there are more, they are written, and later calls of the same kind get further rows.
ROWS = 50_000
# Bytes of a line. Longer lines are not read.
LINE = 1 << 20
# Characters of a name. Longer names are cut.
NAME = 200
# Decimals of a cost. The plugin writes 9.
DECIMALS = 18
# 50 digits: no sum of costs below 10^32 USD is rounded.
decimal.getcontext().prec = 50

TOKENS, CALLS, REQUESTS = "Tokens", "Tool Calls", "Requests"
# SkuMeter of each part of the cost. The last two are the parts of a cost that has no parts in the log, and of its rest.
METERS = {
    "input": "Input Tokens",
    "cache_read": "Cache Read Input Tokens",
    "cache_write": "Cache Write Input Tokens",
    "output": "Output Tokens",
    "reasoning": "Reasoning Output Tokens",
    "audio": "Audio",
    "image": "Images And Video",
    "tools": "Provider Tools",
    "requests": "Requests",
    "call": "Whole Calls",
    "other": "Other",
}
TOOLS = ("web_searches", "web_fetches", "file_searches", "maps_searches", "code_runs")

# ProviderName and ServiceName where the names in the log are not those of other FOCUS data. A provider that is not listed
# has its name in the log.
NAMES = {
    "anthropic": ("Anthropic", "Claude API"),
    "aws.bedrock": ("AWS", "Amazon Bedrock"),
    "azure.ai.inference": ("Microsoft", "Azure AI Inference"),
    "azure.ai.openai": ("Microsoft", "Azure OpenAI"),
    "gcp.gemini": ("Google", "Gemini API"),
    "gcp.vertex_ai": ("Google Cloud", "Vertex AI"),
    "ibm.watsonx.ai": ("IBM", "watsonx.ai"),
    "mistral_ai": ("Mistral AI", "Mistral API"),
    "openai": ("OpenAI", "OpenAI API"),
    "x_ai": ("xAI", "xAI API"),
}

# What to add to the description of charges whose cost is not the whole cost.
NOTES = {
    "unpriced": "cost unknown: no price for the model",
    "no_usage": "cost unknown: the answer had no usage",
    "partial": "cost incomplete: a quantity had no rate",
    "hidden": "cost incomplete: the call was cut",
    "prepaid": "no cost: capacity paid for in advance",
    "reported_estimate": "cost estimated by the provider",
}

COLUMNS = (
    "BilledCost BillingAccountId BillingAccountName BillingCurrency BillingPeriodEnd BillingPeriodStart ChargeCategory"
    " ChargeClass ChargeDescription ChargeFrequency ChargePeriodEnd ChargePeriodStart CommitmentDiscountCategory"
    " CommitmentDiscountId CommitmentDiscountName CommitmentDiscountStatus CommitmentDiscountType ConsumedQuantity"
    " ConsumedUnit ContractedCost ContractedUnitPrice EffectiveCost InvoiceId InvoiceIssuerName ListCost ListUnitPrice"
    " PricingCategory PricingQuantity PricingUnit ProviderName PublisherName RegionId RegionName ResourceName"
    " ResourceType ServiceCategory ServiceName ServiceSubcategory SkuId SkuMeter SkuPriceDetails SkuPriceId SubAccountId"
    " SubAccountName Tags x_CallCount x_CostStatus x_UnpricedParts"
    # The names of columns in focus-validator 1.0.0. FOCUS does not have them.
    " ChargeType InvoiceIssuer Provider Publisher ResourceID"
).split()

Key = collections.namedtuple("Key", "hour provider model operation route status unpriced tags part unit")


class Faulty(Exception):
    """A line that cannot be read, with the reason."""


class Row:
    """The sums of one row."""

    __slots__ = ("cost", "quantity", "calls")

    def __init__(self):
        self.cost, self.quantity, self.calls = decimal.Decimal(0), 0, 0


def main():
    parser = argparse.ArgumentParser(usage="python3 envoy/focus.py [--account ID] [--tag FIELD]... <access.log >focus.csv")
    parser.add_argument("--account", default="unknown")
    parser.add_argument("--tag", action="append", default=[])
    options = parser.parse_args()
    sys.stdout.reconfigure(encoding="utf-8", errors="replace", newline="")
    out = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\r\n")
    out.writeheader()

    rows, statuses, total = collections.defaultdict(Row), collections.Counter(), decimal.Decimal(0)
    others = faulty = 0
    first = ""
    for number, line in enumerate(lines(sys.stdin.buffer), 1):
        try:
            call = read(line)
            if call is None:
                others += 1
                continue
            found = charges(call, options.tag)
        except Faulty as error:
            faulty += 1
            first = first or f"line {number}: {error}"
            continue
        statuses[call["gaugeway.cost.status"]] += 1
        for key, cost, quantity in found:
            row = rows[key]
            row.cost, row.quantity, row.calls = row.cost + cost, row.quantity + quantity, row.calls + 1
            total += cost
        if len(rows) > ROWS:
            write(out, rows, options.account)
    write(out, rows, options.account)

    calls = sum(statuses.values())
    say(f"{calls} calls cost {total:f} USD; {others} lines are not calls with a cost or usage")
    for status in sorted(statuses.keys() & NOTES.keys()):
        say(f"{statuses[status]} calls are {status} ({NOTES[status]})")
    if faulty:
        say(f"{faulty} lines could not be read; {first}")
    return 1 if faulty and not calls else 0


def say(text):
    print(f"focus.py: {text}", file=sys.stderr)


def lines(file):
    """Yields the lines that are not empty, or None for a line that is too long."""
    while line := file.readline(LINE):
        if len(line) < LINE or line.endswith(b"\n"):
            if line.strip():
                yield line
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(LINE)
        yield None


def read(line):
    """The fields of a line. None if it is not a call that can have a cost, such as an answer of Envoy itself."""
    if line is None:
        raise Faulty(f"longer than {LINE} bytes")
    try:
        # Without parse_float costs would be rounded to binary fractions.
        fields = json.loads(line, parse_float=decimal.Decimal)
    except (ValueError, RecursionError) as error:
        raise Faulty(f"not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise Faulty("not a JSON object")
    fields = {name: value for name, value in fields.items() if value not in (None, "", "-")}
    return fields if "gaugeway.cost.status" in fields else None


def charges(call, tags):
    """The rows to which the call belongs, each with its cost and its quantity."""
    text = lambda name: str(call.get(name, ""))[:NAME]
    model = text("gen_ai.response.model") or text("gen_ai.request.model") or "unknown"
    common = (
        started(call),
        text("gen_ai.provider.name") or "unknown",
        model,
        text("gen_ai.operation.name"),
        text("route"),
        text("gaugeway.cost.status"),
        text("gaugeway.cost.unpriced"),
        tuple((tag, text(tag)) for tag in tags),
    )
    cost = amount(call, "gaugeway.cost.usd")
    costs = {part: amount(call, f"gaugeway.cost.{part}.usd") for part in METERS}
    costs = {part: of_part for part, of_part in costs.items() if of_part}
    rest = cost - sum(costs.values())
    used = quantities(call)
    if costs:
        if rest:
            costs["other"] = rest
    elif cost:
        # One sum, as some providers report it.
        tokens = sum(count for count, unit in used.values() if unit == TOKENS)
        costs, used = {"call": cost}, {"call": (tokens, TOKENS)} if tokens else {}
    parts = [part for part in METERS if part in costs or part in used] or ["requests"]
    found = []
    for part in parts:
        count, unit = used.get(part, (1, REQUESTS))
        found.append((Key(*common, part, unit), costs.get(part, decimal.Decimal(0)), count))
    return found


def started(call):
    """The hour in which the call began."""
    try:
        time = datetime.datetime.fromisoformat(str(call["start_time"]).replace("Z", "+00:00"))
        if time.tzinfo is None:
            raise ValueError
        return time.astimezone(datetime.timezone.utc).replace(minute=0, second=0, microsecond=0)
    except (KeyError, ValueError, OverflowError):
        raise Faulty(f"no time in start_time: {call.get('start_time')!r}") from None


def quantities(call):
    """The quantity and the unit of each part that the call used. Parts that do not count tokens are left out if the log does
    not have their quantity, such as the seconds of audio."""
    usage = lambda name: count(call, f"gen_ai.usage.{name}")
    own = lambda name: count(call, f"gaugeway.usage.{name}_tokens")
    read, reasoning = usage("cache_read.input_tokens"), usage("reasoning.output_tokens")
    written = usage("cache_creation.input_tokens") or usage("cache_write.input_tokens")
    audio_in, audio_out = own("input_audio"), own("output_audio")
    image_in, image_out = own("input_image"), own("output_image")
    counts = {
        "input": max(usage("input_tokens") - read - written - audio_in - image_in, 0),
        "cache_read": read,
        "cache_write": written,
        "output": max(usage("output_tokens") - reasoning - audio_out - image_out, 0),
        "reasoning": reasoning,
        "audio": audio_in + audio_out,
        "image": image_in + image_out,
    }
    used = {part: (tokens, TOKENS) for part, tokens in counts.items() if tokens}
    if tools := sum(count(call, f"gaugeway.provider_tools.{tool}") for tool in TOOLS):
        used["tools"] = (tools, CALLS)
    return used


def amount(call, name):
    """A number of US dollars, 0 if the call does not have it."""
    try:
        dollars = decimal.Decimal(str(call.get(name, 0)))
        if 0 <= dollars <= 1_000_000 and dollars.as_tuple().exponent >= -DECIMALS:
            return dollars
    except decimal.InvalidOperation:
        pass
    raise Faulty(f"{name} is not an amount: {call[name]!r}")


def count(call, name):
    """A number of tokens or calls, 0 if the call does not have it."""
    number = str(call.get(name, 0))
    if not (number.isascii() and number.isdigit() and len(number) < 20):
        raise Faulty(f"{name} is not a count: {call[name]!r}")
    return int(number)


def write(out, rows, account):
    """Writes the rows in the order of time, and removes them."""
    for key in sorted(rows):
        out.writerow(columns(key, rows[key], account))
    rows.clear()


def columns(key, row, account):
    """One row of the result. Columns without a value stay empty. No cell begins with a text that a client can choose, because
    spreadsheets would execute it as a formula."""
    provider, service = NAMES.get(key.provider, (key.provider, f"{key.provider} API"))
    month = key.hour.replace(day=1, hour=0)
    cost, quantity = decimals(row.cost), decimals(decimal.Decimal(row.quantity))
    sku = f"{key.provider}/{key.model}/{key.part}"
    note = f" ({NOTES[key.status]})" if key.status in NOTES else ""
    tags = {"cost_status": key.status, "model": key.model, "operation": key.operation, "route": key.route}
    tags.update(key.tags)
    return {
        "BilledCost": cost,
        "ContractedCost": cost,
        "EffectiveCost": cost,
        "ListCost": cost,
        "BillingCurrency": "USD",
        "BillingAccountId": account,
        "BillingPeriodStart": stamp(month),
        "BillingPeriodEnd": stamp((month + datetime.timedelta(days=32)).replace(day=1)),
        "ChargePeriodStart": stamp(key.hour),
        "ChargePeriodEnd": stamp(key.hour + datetime.timedelta(hours=1)),
        "ChargeCategory": "Usage",
        "ChargeType": "Usage",
        "ChargeDescription": f"{METERS[key.part]} of {key.model}{note}",
        "ChargeFrequency": "Usage-Based",
        "ConsumedQuantity": quantity,
        "ConsumedUnit": key.unit,
        "PricingQuantity": quantity,
        "PricingUnit": key.unit,
        "PricingCategory": "Other" if key.status == "prepaid" else "Standard",
        "ProviderName": provider,
        "Provider": provider,
        "PublisherName": provider,
        "Publisher": provider,
        "InvoiceIssuerName": provider,
        "InvoiceIssuer": provider,
        "ServiceCategory": "AI and Machine Learning",
        "ServiceSubcategory": "Generative AI",
        "ServiceName": service,
        "SkuId": sku,
        "SkuPriceId": sku,
        "SkuMeter": METERS[key.part],
        "SkuPriceDetails": json.dumps({"x_Model": key.model, "x_CostPart": key.part}),
        "Tags": json.dumps({name: value for name, value in tags.items() if value}),
        "x_CallCount": row.calls,
        "x_CostStatus": key.status,
        "x_UnpricedParts": key.unpriced,
    }


def decimals(number):
    """Without an exponent, and with a decimal point: readers that guess types take all such columns for decimals."""
    text = f"{number:f}"
    return text if "." in text else f"{text}.0"


def stamp(time):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


if __name__ == "__main__":
    sys.exit(main())
