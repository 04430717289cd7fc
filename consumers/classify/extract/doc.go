// Package extract extracts the text of documents from untrusted sources.
//
// [Extractor.Text] detects the kind of a document from its content, regardless of its name and its
// declared type, and returns clean text of limited length. It reads:
//
//   - plain text in any common encoding, Markdown, CSV, JSON and other text formats, RTF and HTML;
//   - XML, with the names of its elements as words, its attributes if these have the content, and
//     what e-invoices and bank statements are;
//   - PDF: the text of its pages, form fields, text boxes and attached files, and what OCR
//     recognizes on the first pages that have a picture or garbage instead of text;
//   - docx, xlsx, pptx and their templates, with diagrams, charts, drawings and embedded documents,
//     the OpenDocument formats, also as flat XML, and EPUB;
//   - doc, xls and ppt, the formats of Office before 2007, with their pictures;
//   - emails, mailbox files, messages of Outlook (.msg) and what Outlook sends to other programs
//     (winmail.dat), with the text of their attachments;
//   - signed files, such as e-invoices (.p7m), without verifying the signature;
//   - images (PNG, JPEG, GIF, BMP, TIFF, WebP), by OCR.
//
// For every other kind it returns [ErrUnsupported]. An error that the document itself causes wraps
// [ErrEncrypted], [ErrNoText], [ErrBroken] or ErrUnsupported, and [Reason] returns its name. After
// any other error the same call may succeed later. One of these is [ErrBusy]: a document that takes
// too long is broken only if it got a quarter of that time from the processor.
//
// # Safety
//
// Package extract never opens a network connection, follows a reference out of a document, runs
// code from a document, or expands an XML entity. It opens an archive that is no document only if
// that is attached to one, and reads it like other attachments. It writes no files except PDFium's
// compiled code in [Config.CacheDir]. Errors never quote a document.
//
// # Limits
//
// Documents are assumed to be hostile, so the resources that each of them uses are limited:
//
//   - Text formats: at most 8 MiB of a document are read, and held once encoded and once decoded.
//     The readers of HTML and XML do not build a tree.
//   - PDF: PDFium runs as WebAssembly in a sandbox without file system, environment, arguments or
//     network. A sandbox has at most 64 MiB of memory; one sandbox at a time may have 192 MiB. Each
//     document gets a new instance, which is stopped at a deadline. A file of up to
//     [Config.MaxBytes] is held in memory. A larger one is read through a window of 8 MiB if the
//     caller's reader is an io.ReaderAt.
//   - Archives: at most 4 MiB are read to list an archive, and at most 64 MiB are decompressed,
//     also to list one that was cut off. Of an archive that is attached, 1,000 files are looked at.
//   - Old Office files: 20,000 streams are listed, and 16 MiB of a stream are read. An attachment
//     may have the size of an embedded file. Of a file above [Config.MaxBytes], 128 MiB are read.
//   - Emails: the first [Config.MaxBytes], 1,000 parts, ten levels of nesting.
//   - Embedded files: 20 files of 32 MiB together, down to a depth of three. They are read one
//     after another, and none is begun after [Config.Timeout].
//   - OCR: five pages and images of a document and its embedded files together.
//   - Images: an image is decoded in this process if that takes at most 200 MiB, one image at a
//     time. An image that needs more than 64 MiB waits until no sandbox has that much. tesseract, a
//     separate program, receives only gray pixels. It has a deadline and 768 MiB of address space,
//     and cannot write files. Without tesseract, images and scans result in [ErrNoOCR].
//   - Output: at most [Config.MaxRunes] characters. Reading stops when they are reached.
//
// A panic while a document is read is returned as [ErrBroken] and does not affect other documents.
//
// # Files
//
// They belong together as follows:
//
//   - the way of a document: config.go, extract.go (begin here), sniff.go and kind.go (its kind),
//     source.go (its bytes), embedded.go and zipfiles.go (the files within it), text.go and bidi.go
//     (what is written), timer.go, busy.go, busy_linux.go and busy_other.go (deadlines);
//   - encodings of text: charset.go, charseteuropean.go, charsetname.go, utf16.go;
//   - text, markup and data: plain.go, json.go, card.go, markup.go, xml.go, xmlattributes.go,
//     business.go (e-invoices and bank statements), signed.go, rtf.go, rtfnotes.go,
//     rtfcompressed.go, rtffiles.go;
//   - PDF: pdf.go, pdftext.go, columns.go, annotations.go, form.go, xfa.go, garbage.go,
//     pdfattachments.go, pdfassociated.go, pdfobjects.go, pdfrepair.go; its sandbox: sandbox.go,
//     lease.go, memory_unix.go, memory_other.go;
//   - docx, xlsx, pptx, OpenDocument and EPUB: archive.go, ziprepair.go, office.go, paragraphs.go,
//     fields.go, styles.go, hiding.go, sheet.go, dates.go, slides.go, opendocument.go,
//     odfstyles.go, epub.go;
//   - doc, xls, ppt and msg: compound.go, ole.go, word97.go, excel97.go, biffstrings.go,
//     powerpoint97.go, blip.go, outlook.go;
//   - emails: mail.go, mailbody.go, mailformat.go, mailwords.go, uuencode.go, tnef.go;
//   - images: image.go, imagerepair.go, orientation.go, bitmap.go, tiff.go, tiffdirectory.go,
//     tiffsamples.go, ccitt.go (faxes);
//   - OCR: scan.go, skew.go, ocr.go, process_unix.go, process_other.go.
package extract
