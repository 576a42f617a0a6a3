// A flow in JavaScript: answers, says in the log what of the world it can see, and stays until the caller hangs up.
//
// What lies beyond computing comes from WASI, and there is nothing in WASI but clocks, random numbers and the log: no
// environment, no arguments, no files, no network.

import { config, log } from 'callbox:flow/session@0.1.0';
import { getArguments, getEnvironment } from 'wasi:cli/environment@0.2.0';
import { getDirectories } from 'wasi:filesystem/preopens@0.2.0';
import { instanceNetwork } from 'wasi:sockets/instance-network@0.2.0';
import { resolveAddresses } from 'wasi:sockets/ip-name-lookup@0.2.0';
import { createTcpSocket } from 'wasi:sockets/tcp-create-socket@0.2.0';

const info = (text) => log('info', text);

// The caller's media would go here; a flow that has none says so with port 9 (discard).
const SDP = [
  'v=0', 'o=javascript 1 1 IN IP4 127.0.0.1', 's=-', 'c=IN IP4 127.0.0.1', 't=0 0', 'm=audio 9 RTP/AVP 0', 'a=inactive', '',
].join('\r\n');

/** Tries something that the host does not allow, and logs what came of it. */
function attempt(what, act) {
  try {
    info(`${what}: ${JSON.stringify(act())}`);
  } catch (error) {
    info(`${what}: refused: ${error.payload ?? error}`);
  }
}

function connect() {
  const address = { tag: 'ipv4', val: { port: 5060, address: [127, 0, 0, 1] } };
  createTcpSocket('ipv4').startConnect(instanceNetwork(), address);
  return 'connecting';
}

function lookAround() {
  info(`clock: ${Math.floor(Date.now() / 1000)} ${performance.now() >= 0}`);
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  info(`random: ${Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')}`);
  info(`environment: ${JSON.stringify(getEnvironment())}`);
  info(`arguments: ${JSON.stringify(getArguments())}`);
  info(`folders: ${JSON.stringify(getDirectories())}`);
  attempt('name', () => resolveAddresses(instanceNetwork(), 'localhost'));
  attempt('tcp', connect);
  console.log('on stdout: \x1b[31mred\x1b[0m');
  console.error('on stderr: \x07bell');
}

export const handler = {
  onCall(incoming) {
    info(`javascript answers ${incoming.ani()}`);
    lookAround();
    if (config('flood')) {
      for (let number = 0; number < 10_000; number += 1) {
        console.log(`line ${number} ${'x'.repeat(100)}`);
      }
    }
    incoming.answer({ contentType: 'application/sdp', data: new TextEncoder().encode(SDP) }, [], 15_000);
    incoming.waitForHangup(undefined);
  },
};
