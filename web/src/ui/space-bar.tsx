import type { User } from "../api/types.js";
import { bytes, t } from "../i18n/index.js";

type Quota = User["quota"];

/** Returns the share of a quota that is used, from 0 to 1 and more. */
export const usedShare = ({ used_bytes: used, limit_bytes: limit }: Quota): number =>
  limit > 0 ? used / limit : 1;

/** How much of a user's space is used. */
export function SpaceBar({ quota, label = t("space") }: { quota: Quota; label?: string }) {
  const share = usedShare(quota);
  const level = share >= 1 ? "danger" : share >= 0.8 ? "warning" : "";
  const used = bytes(quota.used_bytes);
  return (
    <>
      <progress class={`bar ${level}`} aria-label={label} max={1} value={Math.min(1, share)} />
      <span class="muted">{t("space.used", { used, limit: bytes(quota.limit_bytes) })}</span>
    </>
  );
}
