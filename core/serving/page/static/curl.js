/** The command that sends the same request, for a POSIX shell; as `algoshelf serve` prints it. */

export const MOST_CHARACTERS = 8000;

// What Python's shlex leaves as it is.
const PLAIN = /^[\w@%+=:,./-]+$/;
// Controls, marks that turn the direction of writing, and what is invisible: a command that is shown
// would not be the one that is copied. A line feed is neither, in quotes.
const UNSAFE =
  /[\x00-\x09\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]|[\u{e0000}-\u{e007f}]/u;

/** `text` as one word of a shell. */
export function quoted(text) {
  if (text !== "" && PLAIN.test(text)) return text;
  return `'${text.replaceAll("'", `'"'"'`)}'`;
}

/** The line for `request`, {type, body, file}; `hasToken` says whether one has to be sent. */
export function curl(url, request, hasToken) {
  const words = ["curl", url, "-H", `Content-Type: ${request.type}`];
  if (hasToken) words.push("-H", "Authorization: Bearer TOKEN");
  words.push("--data-binary", bodyWord(request));
  return words.map(quoted).join(" ");
}

/** Whether the body stands in the line itself; otherwise it has to be in a file. */
export function isInline({ body }) {
  return typeof body === "string" && body.length <= MOST_CHARACTERS && !UNSAFE.test(body) &&
    !body.startsWith("@");
}

function bodyWord(request) {
  if (isInline(request)) return request.body.replace(/\n+$/, "");
  return `@${fileName(request)}`;
}

/** The name of the file that the line sends, which may be that of somebody's own file. */
export function fileName({ file }) {
  return !file || UNSAFE.test(file) || file.includes("\n") || file === "-" ? "FILE" : file;
}

/** JSON in ASCII: what it holds can be shown in a command, whatever writing it is in. */
export function json(value) {
  return JSON.stringify(value).replace(/[\u007f-\uffff]/g, (character) =>
    `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
