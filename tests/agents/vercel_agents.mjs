// Vercel's AI SDK with OpenAI's Responses and chat completions and Anthropic's Messages. scenario.py describes scenarios.
import { writeSync } from 'node:fs';
import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { generateText, hasToolCall, Output, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';

const { GAUGEWAY_GATEWAY: gateway, GAUGEWAY_MODEL: scripted } = process.env;
const TOOL_TIME = 100; // milliseconds

const calls = (...tools) => ({ calls: tools.map(([name, input]) => ({ tool: name, arguments: input })) });
const text = (words = 'Bern has 20 degrees and Oslo has 10 degrees.') => ({ text: words });
const bern = { city: 'Bern' };
const plain = [calls(['temperature', bern]), calls(['humidity', bern]), text()];
const cities = ['Bern', 'Oslo', 'Rome', 'Paris', 'Wien'];

const write = line => writeSync(1, JSON.stringify(line) + '\n');
const report = run => write({ scenario: run.key, runs: run.runs, tools: run.tools });

// A tool that takes a while and records its call.
function slowTool(run, name, execute) {
    return tool({
        description: `Returns the ${name} in a city.`,
        inputSchema: z.object({ city: z.string() }),
        execute: async ({ city }) => {
            const start = performance.now();
            await new Promise(resolve => setTimeout(resolve, TOOL_TIME));
            const call = { seconds: (performance.now() - start) / 1000, failed: false };
            (run.tools[name] ??= []).push(call);
            try {
                return execute(city);
            } catch (error) {
                call.failed = true;
                throw error;
            }
        },
    });
}

const tools = run => ({
    temperature: slowTool(run, 'temperature', city => ({ Bern: 20, Oslo: 10 })[city] ?? 15),
    humidity: slowTool(run, 'humidity', () => 0.5),
    broken: slowTool(run, 'broken', city => {
        throw new Error(`there is no barometer in ${city}`);
    }),
    kill: tool({
        description: 'Returns nothing, because it kills this process.',
        inputSchema: z.object({ city: z.string() }),
        execute: () => {
            run.runs.push({ status: 'abandoned', iterations: 2 });
            report(run);
            process.kill(process.pid, 'SIGKILL');
        },
    }),
});

function model(run, api) {
    const options = { apiKey: 'key', baseURL: `${gateway}/v1`, headers: { 'x-scenario': run.key, 'x-auth-token': run.key } };
    if (api === 'messages') return createAnthropic(options)('claude-sonnet-4-20250514');
    return api === 'chat' ? createOpenAI(options).chat('gpt-4o') : createOpenAI(options).responses('gpt-4o');
}

async function go(run, api, streamed, options = {}) {
    const settings = {
        model: model(run, api), tools: tools(run), stopWhen: stepCountIs(10), instructions: 'Answer with your tools.',
        prompt: 'How warm is it in Bern and Oslo?', onError: () => {}, ...options,
    };
    let steps;
    if (streamed) {
        const result = streamText(settings);
        await result.consumeStream();
        steps = await result.steps;
    } else {
        steps = (await generateText(settings)).steps;
    }
    run.runs.push({ status: 'completed', iterations: steps.length });
}

async function cancelled(run, api) {
    const stop = new AbortController();
    const result = streamText({
        model: model(run, api), tools: tools(run), stopWhen: stepCountIs(10), prompt: 'How warm?',
        abortSignal: stop.signal, onError: () => {},
    });
    for await (const part of result.fullStream) if (part.type === 'text-delta') stop.abort();
    run.runs.push({ status: 'cancelled', iterations: 2 });
}

const weather = z.object({ city: z.string(), degrees: z.number() });
const answer = tool({ description: 'The answer.', inputSchema: weather });

function* scenarios() {
    for (const api of ['chat', 'responses', 'messages']) {
        for (const streamed of [false, true]) {
            const end = streamed ? '.streamed' : '';
            const run = options => run => go(run, api, streamed, options);
            yield [`${api}.plain${end}`, plain, run()];
            const pair = [['temperature', bern], ['temperature', { city: 'Oslo' }], ['humidity', { city: 'Oslo' }]];
            yield [`${api}.parallel${end}`, [calls(...pair), text()], run()];
            yield [`${api}.failing${end}`, [calls(['broken', bern]), calls(['temperature', bern]), text()], run()];
            yield [`${api}.retries${end}`, [{ fail: 429 }, plain[0], { fail: 500 }, ...plain.slice(1)], run()];
            const trim = { prepareStep: ({ messages }) => ({ messages: [messages[0], ...messages.slice(1).slice(-2)] }) };
            const many = cities.map(city => calls(['temperature', { city }]));
            yield [`${api}.trimmed${end}`, [...many, text()], run(trim)];
            const json = text('{"city": "Bern", "degrees": 20}');
            const native = [...plain.slice(0, -1), json];
            // For this Anthropic model the SDK forces a tool named json in every step, so it cannot use other tools.
            yield [`${api}.structured${end}`, native, run({ output: Output.object({ schema: weather }) })];
            const final = [...plain.slice(0, -1), calls(['final_answer', { city: 'Bern', degrees: 20 }])];
            yield [`${api}.answer_tool${end}`, final, run => go(run, api, streamed, {
                tools: { ...tools(run), final_answer: answer }, toolChoice: 'required',
                stopWhen: hasToolCall('final_answer'),
            })];
            if (streamed) {
                yield [`${api}.cancelled${end}`, [plain[0], { ...text('one two three four five six seven eight'), slow: true }],
                    run => cancelled(run, api)];
            }
        }
    }
    yield ['chat.killed', [plain[0], calls(['kill', bern])], run => go(run, 'chat', false)];
}

const wanted = process.argv.slice(2);
for (const [name, steps, execute] of scenarios()) {
    const key = `vercel_ai.${name}`;
    if (wanted.length && !wanted.some(word => key.startsWith(word))) continue;
    const run = { key, runs: [], tools: {} };
    await fetch(`${scripted}/script/${key}`, { method: 'PUT', body: JSON.stringify(steps) });
    try {
        await execute(run);
        report(run);
    } catch (error) {
        write({ scenario: key, error: String(error.stack ?? error).slice(-3000) });
    }
}
