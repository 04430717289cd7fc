// The icon for a kind of file.
import type { IconName } from "../ui/icon.js";

/** The icon for a media type. */
export function iconOf(type: string): IconName {
  if (type.startsWith("image/")) return "picture";
  if (type === "message/rfc822") return "mail";
  if (/spreadsheet|excel|csv/.test(type)) return "table";
  return "file";
}
