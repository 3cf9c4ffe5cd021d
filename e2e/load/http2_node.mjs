// Requests of Node's http2, as `load call http` makes them: see main.go.
//
// Usage: node http2_node.mjs HOST:PORT CA.pem SECONDS PARALLEL

import { readFileSync } from "node:fs";
import http2 from "node:http2";

const [address, ca, seconds, parallel] = process.argv.slice(2);
const end = Date.now() + Number(seconds) * 1000;
const done = { calls: 0, failed: 0, failures: [] };
const session = http2.connect(`https://${address}`, { ca: readFileSync(ca) });
session.on("error", (error) => done.failures.push(`connection: ${error.message}`));
session.on("goaway", (code, _, text) => done.failures.push(`GOAWAY ${code}: ${text}`));

function call(number) {
  return new Promise((resolve, reject) => {
    const body = Buffer.alloc(number % 50 === 49 ? 200_000 : 15 + (number % 91), "b");
    const stream = session.request({ ":method": "POST", ":path": "/" });
    let status;
    const found = [];
    stream.setTimeout(20_000, () => stream.destroy(new Error("nothing came for 20 s")));
    stream.on("response", (head) => (status = head[":status"]));
    stream.on("data", (piece) => found.push(piece));
    stream.on("error", reject);
    stream.on("end", () => {
      const whole = Buffer.concat(found);
      if (status === 200 && whole.equals(body)) resolve();
      else reject(new Error(`expected 200 and ${body.length} bytes, found ${status} and ${whole.length}`));
    });
    // In two pieces: the end comes by itself.
    stream.write(body);
    stream.end();
  });
}

async function repeat(number) {
  for (; Date.now() < end; number++) {
    done.calls++;
    try {
      await call(number);
    } catch (error) {
      done.failed++;
      done.failures.push(error.message);
    }
  }
}

await Promise.all(Array.from({ length: Number(parallel) }, (_, number) => repeat(number)));
done.failures = done.failures.slice(0, 20);
console.log(JSON.stringify(done));
session.close();
