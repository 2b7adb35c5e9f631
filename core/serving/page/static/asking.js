/** Requests to the server: each ends, by an answer, by the server's own words, or by a sentence. */

const TOKEN = "algoshelf token";
const SLACK_SECONDS = 5;

/**
 * What went wrong, in words for the person who asked: `faults` are the server's own. `needsToken`
 * where it wants one, `isSilent` where it did not answer at all.
 */
export class Trouble extends Error {
  constructor(message, { faults = [], needsToken = false, isSilent = false } = {}) {
    super(message);
    Object.assign(this, { faults, needsToken, isSilent });
  }
}

/** The token of this tab, kept until the tab is closed. */
export const token = {
  get: () => sessionStorage.getItem(TOKEN) ?? "",
  set: (value) => sessionStorage.setItem(TOKEN, value),
  /** Whether a header can hold it. */
  isSendable: (value) => /^[\x21-\x7e]+$/.test(value),
};

/**
 * What the server answers at `path`, a Response whose body is read: {text, blob, type, seconds}.
 *
 * Throws Trouble, or an AbortError where `signal` says that nobody waits any more.
 */
export async function fetched(path, { method = "GET", headers = {}, body, timeout = 60, signal } = {}) {
  const known = token.get();
  const limit = new AbortController();
  const stop = () => limit.abort(signal.reason);
  signal?.addEventListener("abort", stop);
  const seconds = timeout + SLACK_SECONDS;
  const timer = setTimeout(() => limit.abort(new DOMException("", "TimeoutError")), 1000 * seconds);
  const begun = performance.now();
  try {
    const response = await fetch(path, {
      method,
      headers: { ...headers, ...(known ? { Authorization: `Bearer ${known}` } : {}) },
      body,
      signal: limit.signal,
      cache: "no-store",
      credentials: "same-origin",
      redirect: "error",
    });
    const blob = await response.blob();
    const took = (performance.now() - begun) / 1000;
    if (!response.ok) throw await refusal(response.status, blob);
    return { blob, type: response.headers.get("content-type") ?? "", seconds: took };
  } catch (error) {
    if (error instanceof Trouble) throw error;
    if (signal?.aborted) throw new DOMException("", "AbortError");
    if (limit.signal.aborted) {
      throw new Trouble(`The server did not answer within ${Math.round(seconds)} seconds. ` +
        "It may be busy, or stopped: look at its log, then ask again.", { isSilent: true });
    }
    throw new Trouble(`The server at ${location.host} cannot be reached. Is it still running? ` +
      "Start it again with algoshelf serve, then ask again.", { isSilent: true });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
}

/** The server's own words; it answers errors as JSON, what stands before it may not. */
async function refusal(status, blob) {
  let told = null;
  try {
    told = JSON.parse(await blob.text()).error;
  } catch {
    // said below
  }
  if (status === 401) return new Trouble("The server asks for a token.", { needsToken: true });
  const faults = Array.isArray(told?.faults) ? told.faults.map(String) : [];
  if (faults.length > 0) {
    const passes = status === 503 && told.code !== "model_given_up";
    const again = passes ? "The server cannot answer now; try again in a moment." : "";
    return new Trouble(again || "The server refused the request:", { faults });
  }
  return new Trouble(`The server answered with status ${status}, and did not say why.`);
}
