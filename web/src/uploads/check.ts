// What can be said about a file before anything is sent: the name and the type with which it is
// uploaded, and whether the server would refuse it.
import { Failure } from "../api/problem.js";
import type { ClientConfig } from "../api/types.js";

const office = "application/vnd.openxmlformats-officedocument.";
const open = "application/vnd.oasis.opendocument.";

// Types of files that some operating systems and browsers do not know.
const types: Record<string, string> = {
  avif: "image/avif",
  csv: "text/csv",
  doc: "application/msword",
  docx: office + "wordprocessingml.document",
  eml: "message/rfc822",
  epub: "application/epub+zip",
  fodp: open + "presentation-flat-xml",
  fods: open + "spreadsheet-flat-xml",
  fodt: open + "text-flat-xml",
  heic: "image/heic",
  heif: "image/heif",
  json: "application/json",
  key: "application/vnd.apple.keynote",
  log: "text/plain",
  mbox: "application/mbox",
  md: "text/markdown",
  msg: "application/vnd.ms-outlook",
  numbers: "application/vnd.apple.numbers",
  odp: open + "presentation",
  ods: open + "spreadsheet",
  odt: open + "text",
  p7m: "application/pkcs7-mime",
  pages: "application/vnd.apple.pages",
  pdf: "application/pdf",
  ppt: "application/vnd.ms-powerpoint",
  pptx: office + "presentationml.presentation",
  rtf: "application/rtf",
  tex: "application/x-tex",
  tif: "image/tiff",
  tiff: "image/tiff",
  txt: "text/plain",
  webp: "image/webp",
  xls: "application/vnd.ms-excel",
  xlsx: office + "spreadsheetml.sheet",
  xml: "application/xml",
  yaml: "application/yaml",
  yml: "application/yaml",
};

const maxName = 255; // characters

/**
 * Returns the name with which a file is uploaded: in normalization form C, without characters that
 * change the direction of the text, and with `_` for control characters and path separators.
 */
export const uploadName = (name: string): string =>
  name
    .normalize("NFC")
    .replace(/\p{Bidi_Control}/gu, "")
    .replace(/[\p{Cc}\u2028\u2029/\\]/gu, "_");

/**
 * Returns the type with which a file is uploaded. It is the browser's, unless the browser does not
 * know it or the server does not accept it, but does accept the usual type of such names.
 */
export function uploadType(file: File, config: ClientConfig | null): string {
  const usual = usualType(/\.(\w+)$/.exec(file.name)?.[1]?.toLowerCase() ?? "");
  if (!file.type) return usual ?? "application/octet-stream";
  return usual && !accepts(config, file.type) && accepts(config, usual) ? usual : file.type;
}

const usualType = (extension: string): string | undefined =>
  Object.hasOwn(types, extension) ? types[extension] : undefined;

function accepts(config: ClientConfig | null, type: string): boolean {
  const media = type.split(";", 1)[0]!.trim().toLowerCase();
  const all = media.replace(/\/.*/, "/*");
  return !config || config.allowed_types.some((t) => t === media || t === all || t === "*/*");
}

/** Returns why the server would refuse a file whatever the quota, or null. */
export function refusal(
  { name, type, size }: { name: string; type: string; size: number },
  config: ClientConfig | null,
): Failure | null {
  if ([...name].length > maxName || !/[^ .]/.test(name)) {
    return new Failure("invalid", { pointer: "/filename" });
  }
  if (!accepts(config, type)) {
    return new Failure("type_not_allowed", { allowed_types: config!.allowed_types });
  }
  if (config && size > config.max_document_bytes) {
    return new Failure("too_large", { size, limit: config.max_document_bytes });
  }
  return null;
}
