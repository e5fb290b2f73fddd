/**
 * Tables. On a phone each row becomes a card, with the column's name beside each value. The roles are said, because a
 * browser drops those of a table that is laid out as blocks.
 */
import { type Html, html, type Value } from "./Html.ts"

/** A column. */
export interface Column {
  readonly name: string
  /** Whether its values are aligned to the right. */
  readonly isNumber?: boolean
  /** Whether its values may be long words, which are broken anywhere. */
  readonly isLong?: boolean
}

/** A table. */
export interface TableOptions {
  /** What it shows. For screen readers, because a heading is above it. */
  readonly caption: string
  /** The first column names the rows. */
  readonly columns: ReadonlyArray<Column>
  /** Cells in the order of the columns. */
  readonly rows: ReadonlyArray<ReadonlyArray<Value>>
}

const classOf = ({ isLong = false, isNumber = false }: Column): string =>
  isNumber ? "number" : isLong ? "long" : "text"

/** Returns a table. */
export const table = ({ caption, columns, rows }: TableOptions): Html =>
  html`<table role="table"><caption class="unseen">${caption}</caption>
<thead role="rowgroup"><tr role="row">${columns.map((column) => html`<th role="columnheader" scope="col" class="${classOf(column)}">${column.name}</th>`)}</tr></thead>
<tbody role="rowgroup">${rows.map((cells) => html`<tr role="row">${columns.map((column, n) => cell(column, cells[n] ?? null, n === 0))}</tr>`)}</tbody></table>`

const cell = (column: Column, value: Value, isFirst: boolean): Html =>
  isFirst
    ? html`<th role="rowheader" scope="row" class="${classOf(column)}">${value}</th>`
    : html`<td role="cell" class="${value === null ? `${classOf(column)} none` : classOf(column)}" data-name="${column.name}"><span>${value ?? "–"}</span></td>`
