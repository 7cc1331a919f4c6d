// npm ws: `node ws_client.mjs ADDRESS`. Offers permessage-deflate, as it does by default. Prints the tokens of each response.

import WebSocket from "ws";

const socket = new WebSocket(`ws://${process.argv[2]}/v1/responses`, { perMessageDeflate: { threshold: 0 } });
const inputs = ["Is it windy?", "long: Is it cold?", "fail", "Is it dry?"];

const next = () => {
  const input = inputs.shift();
  if (input === undefined) return socket.close(1000, "done");
  // In two fragments.
  const message = JSON.stringify({ type: "response.create", model: "gpt-5.5", input });
  socket.send(message.slice(0, 20), { fin: false });
  socket.send(message.slice(20), { fin: true });
};

socket.on("open", () => {
  console.log("extensions", JSON.stringify(socket.extensions));
  next();
});
socket.on("message", (data) => {
  const event = JSON.parse(data);
  if (event.type === "response.completed") {
    console.log("tokens", event.response.usage.input_tokens, event.response.usage.output_tokens);
  }
  if (event.type === "response.completed" || event.type === "error") next();
});
