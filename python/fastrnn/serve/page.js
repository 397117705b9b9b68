// The page of fastrnn serve: what /status says, once a second, and a panel that is a client of /stream.
"use strict";

const RATE = 16000, CHUNK_MS = 32, MOST_WAITING = 16, SHOWN = 400;  // Hz, ms, chunks, steps

if (typeof registerProcessor === "function") {
  // The same file in the audio thread: it hands on the microphone's samples.
  registerProcessor("samples", class extends AudioWorkletProcessor {
    process(inputs) {
      if (inputs[0].length) this.port.postMessage(inputs[0][0].slice());
      return true;
    }
  });
} else {
  start();
}

function start() {
  const element = (id) => document.getElementById(id);
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);
  const token = element("token");
  token.value = sessionStorage.getItem("token") || "";
  token.addEventListener("change", () => sessionStorage.setItem("token", token.value));
  const past = [];  // what /status said, for 10 s
  let models = {}, panel = null;

  // ---- What the service says.

  async function poll() {
    try {
      const headers = token.value ? { Authorization: `Bearer ${token.value}` } : {};
      const answer = await fetch("status", { headers, cache: "no-store" });
      element("token-row").hidden = answer.status !== 401 && !token.value;
      if (!answer.ok) throw new Error(answer.status === 401 ? "a token is needed" : `HTTP ${answer.status}`);
      const status = await answer.json();
      status.at = performance.now();
      past.push(status);
      while (past.length > 11) past.shift();
      show(status);
      say("state", `${status.instance}, ${status.draining ? "stopping" : "ready"}`, status.draining);
    } catch (error) {
      say("state", error.message, true);
    }
    setTimeout(poll, 1000);
  }

  function say(id, text, bad) {
    element(id).textContent = text;
    element(id).className = bad ? "bad" : "dim";
  }

  function fill(id, rows, numbers) {
    element(id).replaceChildren(...rows.map((row) => {
      const line = document.createElement("tr");
      row.forEach((text, place) => {
        const cell = line.insertCell();
        cell.textContent = text;
        if (numbers.includes(place)) cell.className = "number";
      });
      return line;
    }));
  }

  function show(status) {
    models = status.models;
    const old = past.length > 1 ? past[past.length - 2] : status;
    const seconds = Math.max(0.001, (status.at - old.at) / 1000);
    fill("models", Object.entries(models).map(([name, m]) => {
      const before = old.models[name] ? old.models[name].steps : m.steps;
      return [name, m.input_size, m.output_size, m.dtype, m.streams, Math.round((m.steps - before) / seconds)];
    }), [1, 2, 4, 5]);
    fill("streams", status.streams.map((s) => [s.model, s.client, s.seconds, s.steps, s.stored ?? "no"]), [2, 3, 4]);
    say("count", status.count > status.streams.length ? `${status.streams.length} of ${status.count}` : status.count);
    const select = element("model"), names = Object.keys(models);
    if (names.join("\n") !== [...select.options].map((option) => option.value).join("\n")) {
      select.replaceChildren(...names.map((name) => new Option(name)));
    }
    showLatency(status);
  }

  function showLatency(status) {
    const sum = (counts) => status.bounds.concat(0).map((_, k) =>
      Object.values(counts).reduce((total, one) => total + one[k], 0));
    const before = sum(past[0].latency), counts = sum(status.latency).map((count, k) => count - before[k]);
    const total = counts.reduce((a, b) => a + b, 0), most = Math.max(1, ...counts);
    const [context, width, height] = surface("latency"), bar = width / counts.length;
    context.font = "11px system-ui";
    context.textAlign = "center";
    counts.forEach((count, k) => {
      const high = (height - 34) * count / most;
      context.fillStyle = colour("--blue");
      context.fillRect(k * bar + 2, height - 18 - high, bar - 4, Math.max(high, 1));
      context.fillStyle = colour("--dim");
      const bound = status.bounds[k];
      context.fillText(bound === undefined ? "more" : `${bound * 1000}`.slice(0, 4), (k + 0.5) * bar, height - 4);
      if (count) context.fillText(count, (k + 0.5) * bar, height - 22 - high);
    });
    const below = (share) => {
      let seen = 0;
      const place = counts.findIndex((count) => (seen += count) >= share * total);
      return place < status.bounds.length ? `<= ${status.bounds[place] * 1000} ms` : "> 1 s";
    };
    say("latency-text", total ? `${total} chunks; ms. Half ${below(0.5)}, 99% ${below(0.99)}` : "no chunks");
  }

  function surface(id) {
    const canvas = element(id), scale = devicePixelRatio || 1;
    const width = canvas.clientWidth, height = Number(canvas.dataset.height ||= canvas.height);
    canvas.width = width * scale;
    canvas.height = height * scale;
    canvas.style.height = `${height}px`;
    const context = canvas.getContext("2d");
    context.scale(scale, scale);
    return [context, width, height];
  }

  // ---- The panel.

  element("panel").addEventListener("submit", (event) => {
    event.preventDefault();
    if (panel) panel.stop("stopped");
    else open(element("model").value, element("signal").value);
  });

  function open(name, signal) {
    const model = models[name];
    if (!model) return;
    const address = new URL("stream", location.href);
    address.protocol = address.protocol.replace("http", "ws");
    address.search = new URLSearchParams({ model: name, ...(token.value ? { token: token.value } : {}) });
    const socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    const steps = Math.max(1, Math.min(model.max_steps, Math.round(RATE * CHUNK_MS / 1000 / model.input_size)));
    const chunk = steps * model.input_size;
    let samples = [], sent = [], took = [], answers = 0, left = 0, drawn = -1, timer = 0, audio = null, next = 0;
    panel = { inputs: [], outputs: [], stop };

    function take(more) {  // samples, of which whole chunks are sent
      samples = samples.concat(Array.from(more));
      while (samples.length >= chunk) {
        const x = Float32Array.from(samples.splice(0, chunk));
        if (socket.readyState !== WebSocket.OPEN) return;
        if (sent.length >= MOST_WAITING) {
          left += 1;
          continue;
        }
        socket.send(x);
        sent.push([performance.now(), x]);
      }
    }

    socket.onopen = async () => {
      if (signal !== "microphone") {
        const begin = performance.now();
        timer = setInterval(() => {
          const due = Math.floor((performance.now() - begin) * RATE / 1000);
          const from = Math.max(next, due - RATE);  // a page in the background is not called for long
          next = due;
          take(Array.from({ length: due - from }, (_, k) => sample(signal, from + k)));
        }, CHUNK_MS / 2);
        return;
      }
      try {
        const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
        audio = new AudioContext({ sampleRate: RATE });
        await audio.audioWorklet.addModule("page.js");
        const node = new AudioWorkletNode(audio, "samples");
        node.port.onmessage = (event) => take(event.data);
        audio.createMediaStreamSource(microphone).connect(node);
        audio.tracks = microphone.getTracks();
      } catch (error) {
        stop(`no microphone: ${error.message}`, true);
      }
    };
    socket.onmessage = (event) => {
      const [at, x] = sent.shift(), y = new Float32Array(event.data), now = performance.now();
      answers += 1;
      took = [...took.slice(-299), now - at];
      for (let step = 0; step < steps; step++) {
        panel.inputs.push(x.subarray(step * model.input_size, (step + 1) * model.input_size));
        panel.outputs.push(y.subarray(step * model.output_size, (step + 1) * model.output_size));
      }
      panel.inputs.splice(0, panel.inputs.length - SHOWN);
      panel.outputs.splice(0, panel.outputs.length - SHOWN);
      const sorted = [...took].sort((a, b) => a - b), at99 = sorted[Math.floor(sorted.length * 0.99)];
      say("panel-text", `${answers} answers, half in ${sorted[sorted.length >> 1].toFixed(1)} ms, 99% in ` +
        `${at99.toFixed(1)} ms${left ? `, ${left} chunks left out` : ""}`, left);
    };
    socket.onclose = (event) => stop(`closed: ${event.code} ${event.reason}`, true);

    function stop(why, bad) {
      if (!panel || panel.stop !== stop) return;
      clearInterval(timer);
      if (audio) {
        (audio.tracks || []).forEach((track) => track.stop());
        audio.close();
      }
      socket.onclose = null;
      socket.close();
      element("run").textContent = "Start";
      if (bad) say("panel-text", why, true);
      panel = null;
    }

    element("run").textContent = "Stop";
    say("panel-text", "connecting");
    const draw = () => {
      if (!panel || panel.stop !== stop) return;
      if (answers > drawn) drawSignal(panel.inputs, panel.outputs);
      drawn = answers;
      requestAnimationFrame(draw);
    };
    draw();
  }

  function sample(signal, n) {
    if (signal === "noise") return Math.random() - 0.5;
    if (signal === "pulses") return n % 4000 < 40 ? 0.8 : 0;
    const seconds = (n / RATE) % 4;  // from 100 to 900 Hz in 4 s
    return 0.5 * Math.sin(2 * Math.PI * (100 * seconds + 100 * seconds * seconds));
  }

  function drawSignal(inputs, outputs) {
    const [context, width, height] = surface("drawing"), half = height / 2 - 6;
    context.strokeStyle = colour("--line");
    context.strokeRect(0, height / 2, width, 0);
    if (!outputs.length) return;
    const across = width / SHOWN, left = width - outputs.length * across;
    context.fillStyle = colour("--blue");
    inputs.forEach((x, step) => {  // from the least to the most of each step's samples
      const low = Math.min(...x), high = Math.max(...x), middle = half / 2 + 4;
      context.fillRect(left + step * across, middle - high * half / 2, Math.max(across - 0.5, 0.5),
        Math.max((high - low) * half / 2, 1));
    });
    const size = outputs[0].length, top = height / 2 + 4;
    const most = Math.max(1e-6, ...outputs.map((y) => Math.max(...y.map(Math.abs))));
    if (size > 8) {
      const picture = new OffscreenCanvas(outputs.length, size), pixels = new ImageData(outputs.length, size);
      outputs.forEach((y, step) => y.forEach((value, unit) => {
        const hue = value > 0 ? [234, 115, 23] : [37, 99, 235], strength = 255 * Math.abs(value) / most;
        pixels.data.set([...hue, strength], 4 * (unit * outputs.length + step));
      }));
      picture.getContext("2d").putImageData(pixels, 0, 0);
      context.imageSmoothingEnabled = false;
      context.drawImage(picture, left, top, width - left, half);
      return;
    }
    for (let unit = 0; unit < size; unit++) {
      context.strokeStyle = size === 1 ? colour("--orange") : `hsl(${unit * 360 / size},70%,50%)`;
      context.beginPath();
      outputs.forEach((y, step) =>
        context.lineTo(left + (step + 0.5) * across, top + half / 2 - y[unit] / most * (half / 2 - 2)));
      context.stroke();
    }
  }

  poll();
}
