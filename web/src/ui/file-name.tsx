/**
 * The name of a file. Its extension is always seen, and stands at the end of the name also if the
 * name is written from right to left, so that a file does not look like another kind of file.
 */
export function FileName({ name }: { name: string }) {
  const dot = name.lastIndexOf(".");
  const cut = dot > 0 && name.length - dot <= 10 ? dot : name.length;
  return (
    <span class="file-name" dir="ltr" title={name}>
      <bdi class="name">{name.slice(0, cut)}</bdi>
      <bdi>{name.slice(cut)}</bdi>
    </span>
  );
}
