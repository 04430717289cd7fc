// Package extract gets the text out of documents that strangers uploaded.
//
// [Extractor.Text] finds a document's kind from its content, never from its
// name or its declared type, and returns clean text of bounded length. It reads:
//
//   - plain text in any common encoding, Markdown, CSV, JSON and other text
//     kinds, XML and HTML;
//   - PDF: its text or, if it has none, pictures of its first pages;
//   - docx, xlsx, pptx and their templates, the Open Document Format, and EPUB;
//   - mails, with the names of their attachments;
//   - pictures (PNG, JPEG, GIF, BMP, TIFF, WebP), by character recognition.
//
// Every other kind is [ErrUnsupported]. Each error about the document itself wraps
// one of four reasons; any other error says nothing about the document, and the
// same call may succeed later.
//
// # What it never does
//
// Package extract never opens a network connection, follows a reference out of a
// document, runs anything that a document contains, expands an XML entity, or
// opens an archive within an archive. It writes no files except PDFium's compiled
// code in [Config.CacheDir]. Errors never quote a document.
//
// # Bounds
//
// Documents are assumed to be hostile, so everything is bounded:
//
//   - Text kinds: at most 8 MiB of a document are read, and held once raw and
//     once decoded. The readers of HTML and XML build no tree.
//   - PDF: PDFium runs as WebAssembly in a sandbox without file system,
//     environment, arguments or network. A sandbox has at most 64 MiB of memory;
//     one sandbox at a time may have 192 MiB. Each document gets a fresh instance,
//     which a deadline ends. A file of up to [Config.MaxBytes] is held in memory. A
//     larger one is read through a window of 8 MiB if the caller's reader is an
//     io.ReaderAt.
//   - Archives: at most 4 MiB of the list of contents are read, and at most 64 MiB
//     are unpacked.
//   - Mails: 64 MiB, 1,000 parts, ten levels.
//   - Pictures: at most as many pixels as fit in 200 MiB. They are decoded in this
//     process, one at a time; one that needs more than 64 MiB waits until no sandbox
//     has as much. tesseract, a separate program, receives only the gray pixels. It
//     has a deadline and 768 MiB of address space, and may not write files. Without
//     tesseract, pictures and scans are [ErrNoText].
//   - Output: at most [Config.MaxRunes] characters. Reading stops once they are
//     there.
//
// A panic of a reader is [ErrBroken] for its document and affects nothing else.
package extract
