// Files of many kinds for the tests.
import { crc32, deflateSync } from "node:zlib";

// A PDF with one line of text, and optionally an action that runs when it is opened.
export function pdf(line, { action } = {}) {
  const stream = `BT /F1 12 Tf 40 700 Td (${line.replace(/[()\\]/g, "\\$&")}) Tj ET`;
  const objects = [
    `<< /Type /Catalog /Pages 2 0 R ${action ? `/OpenAction ${action}` : ""} >>`,
    "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
    `<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R
      /Resources << /Font << /F1 5 0 R >> >> >>`,
    `<< /Length ${stream.length} >>\nstream\n${stream}\nendstream`,
    "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
  ];
  let text = "%PDF-1.7\n";
  const offsets = objects.map((object, index) => {
    const at = text.length;
    text += `${index + 1} 0 obj\n${object}\nendobj\n`;
    return `${String(at).padStart(10, "0")} 00000 n \n`;
  });
  const start = text.length;
  text += `xref\n0 ${objects.length + 1}\n0000000000 65535 f \n${offsets.join("")}`;
  text += `trailer\n<< /Size ${objects.length + 1} /Root 1 0 R >>\nstartxref\n${start}\n%%EOF\n`;
  return Buffer.from(text, "latin1");
}

// A PNG of one color, without any text.
export function png(width = 8, height = 8) {
  const chunk = (type, data) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(data.length);
    const sum = Buffer.alloc(4);
    sum.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, sum]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 0, 0, 0, 0], 8); // 8 bits of gray
  const lines = Buffer.alloc((width + 1) * height, 0);
  return Buffer.concat([
    Buffer.from("\x89PNG\r\n\x1a\n", "latin1"),
    chunk("IHDR", header),
    chunk("IDAT", deflateSync(lines)),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

const invoice = "Invoice 2026-17. Please make the payment of the invoice within 30 days.";
const minutes = "Minutes of the meeting. The agenda of the meeting had three points.";

// Twelve files of different kinds: some fit a topic, some none, and some cannot be read.
export function mixedFiles() {
  const file = (name, type, content) => ({ name, type, content: Buffer.from(content) });
  return [
    file("invoice.txt", "text/plain", invoice),
    file("minutes.md", "text/markdown", `# Meeting\n\n${minutes}`),
    file("invoice.html", "text/html", `<!doctype html><title>Invoice</title><p>${invoice}</p>`),
    file("payments.csv", "text/csv", "invoice,payment\n17,100\n18,200\n"),
    file("agenda.json", "application/json", JSON.stringify({ meeting: { agenda: minutes } })),
    file("invoice.pdf", "application/pdf", pdf(invoice)),
    file("letter.rtf", "application/rtf", `{\\rtf1\\ansi ${invoice}}`),
    file("poem.txt", "text/plain", "The fog comes on little cat feet."),
    file("empty.txt", "text/plain", ""),
    file("picture.png", "image/png", png()),
    file("broken.pdf", "application/pdf", "%PDF-1.7\nThis is not a PDF."),
    file("mail.eml", "message/rfc822", `From: a@example.com\nSubject: Meeting\n\n${minutes}`),
  ];
}

// What the page says about a document that could not be sorted, for each reason.
export const unsorted = {
  broken: "The file is damaged.",
  no_ocr: "Pictures of text cannot be read here.",
  no_text: "It has no text.",
  unsupported: "Files of this kind cannot be read.",
};

// What the page says about a document that has no topic when it was handled.
export const noTopic = RegExp(["No topic fits", ...Object.values(unsorted)].join("|"));

// As many different texts, which fit the topic of invoices.
export const texts = (count) =>
  Array.from({ length: count }, (_, n) => ({
    name: `invoice-${n}.txt`,
    type: "text/plain",
    content: Buffer.from(`Number ${n}. ${invoice}`),
  }));
