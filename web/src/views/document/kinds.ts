// What kind of file a document is, and how it can be shown.
import type { Document } from "../../api/types.js";
import type { Key } from "../../i18n/index.js";

/** The name of the kind of a media type, for people. */
export function kindOf(type: string): Key {
  if (type === "application/pdf") return "kind.pdf";
  if (type.startsWith("image/")) return "kind.picture";
  if (type === "message/rfc822") return "kind.mail";
  if (/spreadsheet|excel|csv/.test(type)) return "kind.table";
  if (/presentation|powerpoint/.test(type)) return "kind.presentation";
  if (/word|opendocument.text|rtf/.test(type)) return "kind.writing";
  return type.startsWith("text/") ? "kind.text" : "kind.other";
}

/** How a document can be shown on the page, by what its content is. */
export type Preview = "pdf" | "picture" | "text" | "none";

const pictures = ["image/png", "image/jpeg", "image/webp", "image/gif"];

/** Returns how a document can be shown: only what the API serves inline. */
export function previewOf({ detected_type: type, content_type: declared }: Document): Preview {
  const found = type ?? declared;
  if (found === "application/pdf") return "pdf";
  if (pictures.includes(found)) return "picture";
  return found === "text/plain" ? "text" : "none";
}
