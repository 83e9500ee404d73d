/** The mark: two strands on a tile. */
export function Logo({ size = 28 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <rect width="32" height="32" rx="8" fill="#0b7a70" />
      <g fill="none" strokeLinecap="round" strokeWidth="2.6">
        <path d="M10 5.5c0 7 12 7 12 14 0 3-2 5-4.5 7" stroke="#fff" />
        <path d="M22 5.5c0 7-12 7-12 14 0 3 2 5 4.5 7" stroke="#8ff0df" />
        <path d="M11.8 9.2h8.4M11.8 19.8h8.4" stroke="#fff" strokeOpacity=".55" strokeWidth="2" />
      </g>
    </svg>
  );
}
