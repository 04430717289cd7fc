// Takes the pictures of docs/page.md: every view in light, in dark and 390 pixels wide. Run it with
// `npm run screenshots` after a change that is seen.
import { mkdir } from "node:fs/promises";

import { png } from "./files.mjs";
import { addUser, openPage, running, scenario, signIn } from "./harness.mjs";

const folder = new URL("../../docs/images/", import.meta.url).pathname;

const modes = {
  light: { viewport: { width: 1280, height: 800 } },
  dark: { viewport: { width: 1280, height: 800 }, colorScheme: "dark" },
  small: { viewport: { width: 390, height: 844 } },
};

scenario("screenshots", async (t) => {
  await mkdir(folder, { recursive: true });
  const alice = await addUser({ quota: 200 << 20 });
  await addUser({ quota: 500 << 20 });
  const admin = await addUser({ role: "admin" });
  for (const file of await examples(t)) await alice.upload(file);
  await alice.call("POST", "/api/topics", {
    name: "Garden",
    description: "Plants, seeds and tools",
    keywords: ["seed", "soil", "roses"],
  });
  const invoice = (await alice.documents()).find(({ filename }) => filename.endsWith(".pdf"));

  for (const [mode, options] of Object.entries(modes)) {
    const page = await openPage(t, options);
    const shoot = async (name, ready) => {
      await ready.waitFor();
      await page.waitForLoadState("networkidle", { timeout: 3000 }).catch(() => {}); // the stream
      await page.screenshot({ path: `${folder}${name}-${mode}.png` });
    };
    const open = (path) => page.goto(running.stack.web + path);
    await shoot("sign-in", page.getByRole("button", { name: "Sign in", exact: true }));
    await signIn(page, alice);
    await shoot("intray", page.getByRole("row").nth(3));
    await open(`/documents/${invoice.id}`);
    await page.getByText("Why these topics?").click();
    await shoot("document", page.locator("details dl"));
    await open("/topics");
    await shoot("topics", page.getByRole("heading", { name: "Garden" }));
    await open("/needs-you");
    await shoot("needs-you", page.getByRole("button", { name: /^Choose topic/ }).first());
    await open("/account");
    await shoot("account", page.getByRole("button", { name: "Change password" }));

    const administrator = await openPage(t, options);
    await signIn(administrator, admin);
    await administrator.goto(`${running.stack.web}/administration`);
    await administrator.getByText(alice.email).first().waitFor();
    await administrator.screenshot({ path: `${folder}administration-${mode}.png` });
  }
});

// Documents as people have them. Chromium prints the PDF.
async function examples(t) {
  const page = await openPage(t, { url: "about:blank" });
  await page.setContent(`
    <style>body { font: 12pt sans-serif; margin: 3cm 2.5cm } td { padding: 4pt 30pt 4pt 0 }</style>
    <h1>Invoice 2026-117</h1>
    <p>Rosenthal Nursery · 4 Mill Lane · Oxford</p>
    <p>Bill to: Alice Example</p>
    <table><tr><td>12 rose bushes<td>£96.00<tr><td>Delivery<td>£8.00
    <tr><td><b>Total amount due</b><td><b>£104.00</b></table>
    <p>Please pay by bank transfer within 14 days of the invoice date.</p>`);
  const pdf = await page.pdf({ format: "A4" });
  const text = (name, content) => ({ name, type: "text/plain", content: Buffer.from(content) });
  return [
    text("notes from Tuesday.txt", "Call back. Ask Ben about Thursday."),
    { name: "IMG_2041.png", type: "image/png", content: png(64, 64) },
    text(
      "rental agreement.txt",
      "This agreement is made between the landlord and the tenant. Both parties agree to the terms " +
        "and conditions, the notice of termination and the signature below.",
    ),
    text(
      "policy 2027.txt",
      "Your insurance policy: the premium, the deductible and the cover of claims by the insurer.",
    ),
    { name: "household.zip.pdf", type: "application/pdf", content: Buffer.from("%PDF-1.7 cut") },
    text(
      "statement November.txt",
      "Account statement: opening balance, debit, credit, transfer, closing balance. IBAN.",
    ),
    text(
      "payslip November.txt",
      "Payslip: gross pay, income tax, deductions, net pay, employer, employee, salary of the month.",
    ),
    { name: "Rosenthal Nursery.pdf", type: "application/pdf", content: pdf },
  ];
}
