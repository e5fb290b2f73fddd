/** The default theme without its fonts, with colours of its own. */
import Theme from "vitepress/theme-without-fonts"
import "./style.css"

export default Theme
